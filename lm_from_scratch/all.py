"Everything a user needs: `from lm_from_scratch.all import *`."
from .errors import *
from .data import *
from .nword import *
from .state import *
from .every_word import *
from .multilayer import *
from .regularization import *
from .training import *
from .ladder import *
