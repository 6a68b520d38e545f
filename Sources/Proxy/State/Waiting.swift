// What an exchange waits for.

/// The one thing an exchange waits for before its next phase. Who brings it goes on; whatever else happens meanwhile
/// (bytes of the client, a deadline) asks what is waited for, never which phase it is, and does not go on in its place.
enum Waiting: UInt8 {
    /// It is on its way, or what it waits for is the endpoint's to bring.
    case nothing
    /// The request's body, before an endpoint is chosen (law 11). Goes on at lookup.
    case body
    /// The time before another attempt. Goes on at select.
    case backoff
}
