package udp

// maxSoftErrors is how many errors in a row that concern earlier datagrams one
// call passes over. The kernel tells each only once, so that there are never that many; it is a
// bound on the time that a system which behaves otherwise can take.
const maxSoftErrors = 64
