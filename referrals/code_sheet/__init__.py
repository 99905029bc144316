"""Numbered codes on paper, for whoever works where no phone may go.

A *code sheet* is sixty codes, printed once; it is *pending* until its first code shows that it was printed. The service
*asks* for one of them by its number, and goes on asking for it until that one is given. A sheet that was *lost* or used
up opens nothing, and stays the factor of its account until another takes its place. This room knows what a sheet is and
whether a code is the right one; what follows from one (a sign-in is complete, others end) the rooms upstairs decide.
Cites S-103 to S-105 of the security rules, and decision 0025.
"""
