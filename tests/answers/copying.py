"Answers to the exercises of `10_copying`."
from answers import mutant, right, wrong
