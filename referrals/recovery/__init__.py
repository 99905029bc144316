"""Coming back after the second factor was lost, by the word of two colleagues.

A *recovery* begins when a *first colleague* says how they made sure who is asking (their *proofing*), and stands once a
*second* one did the same by themselves. Each reads one *half* of a code to the person; both halves and the password let
them set up another authenticator, and nothing else. It lasts a day and works once. No one person can walk it alone, nor
the operator (decision 0023). Cites S-105 of the security rules.
"""
