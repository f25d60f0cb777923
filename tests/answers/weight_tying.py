"Answers to the exercises of `09_weight_tying`."
from answers import mutant, right, wrong
