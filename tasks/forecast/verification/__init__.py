"""What forecasts came to: the error ledger, scores, rolling origins."""
