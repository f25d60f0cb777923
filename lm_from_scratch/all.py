"Everything a user needs: `from lm_from_scratch.all import *`."
from .errors import *
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
from .training import *
from .ladder import *
from .claims import *
from .copying import *
from .generation import *
from .inspection import *
