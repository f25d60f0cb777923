"Answers to the exercises of `08_regularization`."
from answers import mutant, right, wrong
