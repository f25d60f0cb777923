"Answers to the exercises of `00_data`."
from answers import mutant, right, wrong
