"The course: experiments, what they gave, the notebooks and the figures. The library never imports it."
