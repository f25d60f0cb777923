"Answers to the exercises of `04_multilayer`."
from answers import mutant, right, wrong
