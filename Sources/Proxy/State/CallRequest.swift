// What Weir itself asks a service from within a worker, and what came of it.
//
// A call takes the road of every request from select on: the service's pool, TLS, version of HTTP, deadlines, retries
// and budget. It has no client and no route: nothing is matched, no policy runs, nothing is told about a client, and it
// has no line in the access log. Its answer is held whole, up to a bound, and brought by a ticket (State/Ticket.swift).

import WeirResilience

/// A request of our own.
struct CallRequest: Sendable {
    /// Whom, in the snapshot that is current when the call begins.
    let serviceID: Int
    /// Request line and fields, to the empty line. Read as every request is, and refused like one that is malformed;
    /// how the body is framed is not for it to say.
    let head: [UInt8]
    var body: [UInt8] = []
    /// More of an answer's body is not taken.
    let bodyBytesMax: Int
    /// For all of it, all attempts together.
    let totalMs: UInt64
    /// Longest wait for a head, and longest pause within a body; nil: only all of it has a time.
    var idleMs: UInt64?
    var retry = RetryPolicy()
}

/// What came of a call.
struct CallAnswer: Sendable, Equatable {
    /// `.none`: the answer is all here.
    var reason = Reason.none
    /// 0: there is none.
    var status: UInt16 = 0
    /// Its fields as lines, "name: value" CR LF, without those that end at this hop.
    var lines: [UInt8] = []
    var body: [UInt8] = []
    /// The body is longer than was asked for: this is its beginning.
    var isCut = false
}
