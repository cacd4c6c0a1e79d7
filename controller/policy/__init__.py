"""What a class of service wants of a path, as numbers: objectives become costs, bounds become penalties.
Pure.
"""
