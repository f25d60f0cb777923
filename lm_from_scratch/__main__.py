"`python -m lm_from_scratch`: what `lm-from-scratch` does."
from lm_from_scratch.cli import main

main()
