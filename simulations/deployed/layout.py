"""What is in a party's start-up folder.

====================  ===========================================================================
``party.yaml``        role, name and the cloud's address; the cloud's also holds its terms
``certificate.pem``   the party's certificate
``key.pem``           its private key for TLS
``ca.pem``            the certificate authority that everybody's certificate is signed by
``revoked.txt``       the cloud's only: serial numbers of certificates that are good no more
``state/``            made at the first start, on the party's own machine: its 32 secret bytes,
                      from which all its protocol keys follow, and whatever it has to remember
====================  ===========================================================================
"""

PARTY, CERTIFICATE, KEY, CA, REVOKED = "party.yaml", "certificate.pem", "key.pem", "ca.pem", "revoked.txt"
STATE, SECRET = "state", "secret"
