"""The panels of the first page: NAME.py says what is shown (`show`) and where (`PLACE`), NAME.html beside it how."""
