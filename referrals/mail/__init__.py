"""What people are told by mail: that something waits, and nothing more.

A *notice* says who is to be told of which row; it is written with the act, or by a job. A *mail* is one message to one
person, made of the notices that are due by that person's *choice*: at once, once a day, never. Just before it leaves,
each notice is asked for its *ground*, which the rooms upstairs declare. No message is sent twice (decision 0016).
"""
