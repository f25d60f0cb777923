"Answers to the exercises of `02_state`."
from answers import mutant, right, wrong
