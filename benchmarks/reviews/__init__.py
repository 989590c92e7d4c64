"""Are changes of what is configured, and of what is done, judged honestly?"""
