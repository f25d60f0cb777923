"Answers to the exercises of `07_normalization`."
from answers import mutant, right, wrong
