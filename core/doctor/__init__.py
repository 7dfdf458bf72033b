"""What is wrong, and what to do about it: facts are gathered first, from here and from whatever of the cluster answers,
and small functions then turn them into findings. Nothing is started or changed."""
