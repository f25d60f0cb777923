"""You write it, the checker tries it: `check.lstm_cell(MyCell)` passes, or says what is wrong."""
from .core import *
