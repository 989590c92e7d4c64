"""The reference cluster of the closed-loop benchmark, simulated by the rules of SWIM."""
