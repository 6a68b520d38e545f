// The other side of a call: a stream that leads nowhere. What would go to a client is collected.
//
// To the phases a call is a stream of a session like any other, so none of them knows of it; this is the session, with
// one stream and without a connection.

import Glibc
import Reactor
import WeirResilience

final class CallSession: StreamSession {
    private let ticket: Ticket
    private let bodyBytesMax: Int
    let retry: RetryPolicy
    private var answer = CallAnswer()
    /// The one stream.
    var stream: StreamPointer?

    init(_ request: CallRequest, _ ticket: Ticket) {
        self.ticket = ticket
        bodyBytesMax = request.bodyBytesMax
        retry = request.retry
    }

    override func submitHead(
        _ stream: Int64, status: UInt16, lines: UnsafeMutablePointer<UInt8>, _ count: Int, ends: Bool
    ) -> Bool {
        // What precedes an answer is nobody's business.
        if status < 200 { return true }
        answer.status = status
        answer.lines = Array(UnsafeBufferPointer(start: lines, count: count))
        return true
    }

    override func submitData(_ stream: Int64, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Int {
        let room = bodyBytesMax - answer.body.count
        answer.body += UnsafeBufferPointer(start: bytes, count: min(count, room))
        if count > room {
            answer.isCut = true
            // Nobody takes the rest: it ends like an exchange whose client has gone.
            self.stream?.pointee.isGone = true
        }
        return count
    }

    /// The call is over; whoever asked is told, once.
    func end(_ reason: Reason) {
        ticket.bring(reason == .none || answer.isCut ? answer : CallAnswer(reason: reason))
    }
}

extension ExchangePointer {
    /// Of a call: its other side; nil: a client's.
    var call: CallSession? {
        guard let stream = pointee.client.pointee.transport.stream, stream.isCall else { return nil }
        return stream.pointee.session.session { unsafeDowncast($0, to: CallSession.self) }
    }
}

extension UnsafeMutablePointer<StreamEnd> {
    /// It is a call's: its session has no connection.
    var isCall: Bool {
        pointee.session.pointee.client == nil && pointee.session.pointee.upstream == nil
    }
}
