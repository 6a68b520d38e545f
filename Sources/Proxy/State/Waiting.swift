// What an exchange waits for.

/// The one thing an exchange waits for before its next phase. Who brings it goes on; whatever else happens meanwhile
/// (bytes of the client, a deadline) asks what is waited for, never which phase it is, and does not go on in its place.
enum Waiting: UInt8 {
    /// It is on its way, or what it waits for is the endpoint's to bring.
    case nothing
    /// A policy's step, for the request's body (law 11). Its deadlines are those of a client that owes a body, its reasons
    /// theirs.
    case body
    /// The time before another attempt. Goes on at select; its end is its deadline.
    case backoff
    /// A policy's step, for what somebody with a ticket brings (`Ticket`). Its deadline and its reason are given with it.
    case answer
}
