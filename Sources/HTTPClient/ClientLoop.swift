// The client's thread: commands in, libcurl's transfers along, answers out.

import CCurl
import Reactor

/// libcurl's multi handle and what is under way on it. One thread only.
final class ClientLoop {
    /// Connections kept for another request.
    private static let idleMax = 8
    /// Longest wait; libcurl's own deadlines shorten it.
    private static let waitMs: UInt64 = 60_000

    private struct Multi: @unchecked Sendable {
        // Safe from any thread for curl_multi_wakeup alone.
        let handle: UnsafeMutableRawPointer
    }

    private let client: HTTPClient
    private let multi: Multi
    private var transfers: [UInt64: Transfer] = [:]

    init(_ client: HTTPClient) {
        self.client = client
        let initialized = weir_curl_global_init()
        let handle = weir_curl_multi_init()
        precondition(initialized == CURLE_OK && handle != nil, "libcurl cannot start")
        multi = Multi(handle: handle!)
        weir_curl_multi_number(multi.handle, CURLMOPT_MAXCONNECTS, Self.idleMax)
    }

    func run() {
        let multi = multi
        client.setWake { weir_curl_multi_wakeup(multi.handle) }
        while true {
            let (commands, isStopped) = client.take()
            for command in commands { follow(command) }
            if isStopped { break }
            var running: Int32 = 0
            weir_curl_multi_perform(multi.handle, &running)
            takeMessages()
            let waitMs = endOverdue()
            weir_curl_multi_poll(multi.handle, Int32(waitMs))
        }
        client.setWake(nil)
        for transfer in transfers.values { end(transfer, .failure(.stopped)) }
        weir_curl_multi_cleanup(multi.handle)
    }

    private func follow(_ command: HTTPClient.Command) {
        switch command {
        case .begin(let id, let request, let startedMs, let completion):
            let transfer = Transfer(id, request, startedMs: startedMs, completion)
            transfers[id] = transfer
            open(transfer)
        case .named(let id, let answer):
            guard let transfer = transfers[id], transfer.isNaming else { return }
            switch answer {
            case .failure(let failure):
                end(transfer, .failure(.name(host: transfer.url?.host ?? "", failure.text)))
            case .success(let addresses): connect(transfer, addresses)
            }
        case .cancel(let id):
            if let transfer = transfers[id] { end(transfer, .failure(.cancelled)) }
        }
    }

    /// Begins a request, or its next one after a redirect: a name is asked for first.
    private func open(_ transfer: Transfer) {
        if let problem = transfer.problem { return end(transfer, .failure(problem)) }
        guard let name = transfer.nameNeeded else { return connect(transfer, []) }
        transfer.isNaming = true
        let id = transfer.id
        client.names(name) { [weak client] in client?.tell(.named(id, $0)) }
    }

    private func connect(_ transfer: Transfer, _ addresses: [IPAddress]) {
        transfer.isNaming = false
        let nowMs = Clock.monotonicNs() / 1_000_000
        guard let easy = transfer.prepare(addresses, nowMs: nowMs) else {
            return end(transfer, .failure(.badRequest("libcurl does not take the request")))
        }
        weir_curl_multi_add_handle(multi.handle, easy)
    }

    private func takeMessages() {
        var left: Int32 = 0
        while let message = weir_curl_multi_info_read(multi.handle, &left) {
            guard message.pointee.msg == CURLMSG_DONE, let easy = message.pointee.easy_handle,
                let transfer = transfers.values.first(where: { $0.easy == easy })
            else { continue }
            let step = transfer.outcome(weir_curl_result(message))
            weir_curl_multi_remove_handle(multi.handle, easy)
            transfer.release()
            switch step {
            case .over(let result): end(transfer, result)
            case .again: open(transfer)
            }
        }
    }

    /// Ends those whose names are not found in time.
    /// - Returns: how long to wait for the next such moment.
    private func endOverdue() -> UInt64 {
        let nowMs = Clock.monotonicNs() / 1_000_000
        var waitMs = Self.waitMs
        for transfer in transfers.values where transfer.isNaming {
            if let failure = transfer.overdue(nowMs: nowMs) {
                end(transfer, .failure(failure))
            } else {
                waitMs = min(waitMs, transfer.connectDeadlineMs - nowMs)
            }
        }
        return waitMs
    }

    private func end(_ transfer: Transfer, _ result: Result<HTTPClient.Response, HTTPClient.Failure>) {
        transfers[transfer.id] = nil
        if let easy = transfer.easy { weir_curl_multi_remove_handle(multi.handle, easy) }
        transfer.release()
        let outcome: HTTPClient.Outcome
        switch result {
        case .success: outcome = .answered
        case .failure(let failure): outcome = failure.outcome
        }
        let nowNs = Clock.monotonicNs()
        let startedNs = transfer.startedMs * 1_000_000
        client.ended(transfer.request.purpose, outcome, ns: nowNs > startedNs ? nowNs - startedNs : 0)
        transfer.completion(result)
    }
}
