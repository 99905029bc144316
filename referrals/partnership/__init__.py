"""The agreement between an agency and a community organization: without an active one, nothing is shared.

An *agreement* is proposed by either side and signed by both; changing a proposal asks for both signatures anew. It has
a term, the facilities and programs it covers, and the categories and purposes it allows. *Rules* are each side's
non-negotiables and the agency's facility rules; people of the other side acknowledge them by name and date. Either
side alone may end it.
"""
