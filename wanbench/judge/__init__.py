"""The judge: a vision-language model that is asked yes-or-no questions and for counts, and answers with probabilities."""
