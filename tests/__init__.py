"""The tests, laid out like the rooms they test."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
