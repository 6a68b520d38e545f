// UDP: datagrams between clients and endpoints.

import Reactor
import WeirResilience

extension TokenKind {
    static let datagramListener: UInt8 = 14
    static let datagramSession: UInt8 = 15
}

final class DatagramRoom: Room {
    override var kinds: [UInt8] { [TokenKind.datagramListener, TokenKind.datagramSession] }

    override func ready(_ worker: Worker, _ token: Token, _ readiness: Readiness) {
        if token.kind == TokenKind.datagramListener {
            worker.datagramsReady(token.handle)
        } else if let session = worker.datagrams.sessions.pointer(token.handle) {
            worker.answersReady(session)
        }
    }

    override func expired(_ worker: Worker, _ token: Token) {
        if let session = worker.datagrams.sessions.pointer(token.handle) {
            worker.sessionDeadlinePassed(session)
        }
    }

    override var hasTurns: Bool { true }

    override func turnEnds(_ worker: Worker) { worker.sendAnswers() }

    override func prepare(_ worker: Worker, for new: Snapshot) {
        // Answers under way, and datagrams that have come, are for sockets and plans of the old one.
        worker.sendAnswers()
        worker.endDatagramSockets(before: new)
    }

    override func follow(_ worker: Worker) { worker.followSnapshot() }

    override func continueDrain(_ worker: Worker, elapsedMs: UInt64) { worker.endQuietSessions() }

    override func isEmpty(_ worker: Worker) -> Bool { worker.datagrams.sessions.count == 0 }

    override func closeEverything(_ worker: Worker) {
        worker.sendAnswers()
        worker.endAllSessions(Failure(.drainDeadline, phase: .forward))
    }

    override func bury(_ worker: Worker, _ token: Token) {
        worker.datagrams.sessions.release(token.handle)
    }
}
