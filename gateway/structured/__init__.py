"""What an answer must look like: fields of a request -> one grammar, checked before a worker
hears of it. Apart from `checking` everything here is a pure function.
"""
