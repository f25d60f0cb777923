"Answers to the exercises of `11_generation`."
from answers import mutant, right, wrong
