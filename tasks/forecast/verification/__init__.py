"""Verification of forecasts: the error ledger, scores, rolling origins."""
