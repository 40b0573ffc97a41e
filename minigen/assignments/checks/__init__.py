"""The properties that assignments ask for, one module an assignment; each travels with its handout, so none tells a solution.

A check takes the student's function and raises. Its oracle is a definition: an integral, an enumeration, a difference quotient.
"""
