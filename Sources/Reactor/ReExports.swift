// Whoever has sockets has addresses: they come along, and stand in a module of their own for those who have none.

@_exported import WeirAddresses
