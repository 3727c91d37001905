"""The network: one file per part of the method's figure. Importing this imports no torch; its modules do."""
