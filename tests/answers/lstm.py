"Answers to the exercises of `05_lstm`."
from answers import mutant, right, wrong
