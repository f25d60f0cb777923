"Answers to the exercises of `01_nword`."
from answers import mutant, right, wrong
