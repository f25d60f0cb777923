"Answers to the exercises of `03_every_word`."
from answers import mutant, right, wrong
