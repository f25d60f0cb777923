"""You write it, the checker tries it: `check.lstm_cell(MyCell)` passes, or says what is wrong. One module for each chapter's exercises."""
from .core import *
from .data import *
from .nword import *
from .state import *
from .every_word import *
from .multilayer import *
from .lstm import *
from .gru import *
from .normalization import *
from .regularization import *
from .weight_tying import *
from .copying import *
from .generation import *
from .text import *
from .scale import *
from .after import *
