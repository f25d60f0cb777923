"Answers to the exercises of `06_gru`."
from answers import mutant, right, wrong
