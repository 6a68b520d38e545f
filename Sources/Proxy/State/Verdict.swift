// What has been decided about an exchange and is still to be done.
//
// Whoever sees that an exchange cannot go on as it did (a codec, a body, a deadline) notes it here and
// returns. Once nothing of the exchange is on the stack the engine does it (`settle` in
// Phases/Engine.swift), which is the one place where exchanges end. So no room calls one above its own.

import WeirResilience

/// Plain data; the failure that goes with it is `Exchange.noted`, and of attempts their own.
enum Verdict: UInt8 {
    /// It goes on.
    case none
    /// An attempt failed before any of a response reached the client: another one, or `failed`.
    case attemptFailed
    /// A response that says so when none has begun, else a cut.
    case failed
    /// The response is out: the connection serves the next request, or closes.
    case finished
    /// It ends here and now, and the client's connection with it.
    case ended
}

extension ExchangePointer {
    /// Something has been decided, or it is over: nothing more is done for it but to settle.
    @inline(__always) var isDecided: Bool { pointee.verdict != .none || pointee.isOver }

    /// An attempt has failed, and says for what.
    func attemptFailed() { note(.attemptFailed, .none) }

    /// The exchange fails.
    func fail(_ failure: Failure) { note(.failed, failure) }

    /// The response is out.
    @inline(__always)
    func finish() { note(.finished, .none) }

    /// The exchange ends here and now. What was sent of a response is cut by a reset, so that it cannot be
    /// taken for complete.
    func end(_ failure: Failure) { note(.ended, failure) }

    /// The client's direction has ended (errno 0) or broken.
    func clientEnded(errno: Int32) {
        let reason: Reason =
            pointee.responseStarted ? .clientClosedDuringResponse : .clientClosedDuringRequest
        end(Failure(reason, phase: pointee.phase, errno: errno))
    }

    /// What was seen first stands, unless the end is here and now.
    @inline(__always)
    private func note(_ verdict: Verdict, _ failure: Failure) {
        if pointee.isOver || pointee.verdict == .ended { return }
        if pointee.verdict != .none && verdict != .ended { return }
        pointee.verdict = verdict
        pointee.noted = failure
    }
}
