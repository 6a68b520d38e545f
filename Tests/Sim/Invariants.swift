// What holds of any traffic, whatever peers do.

extension Simulation {
    /// Every request has one outcome and one record, and they say the same.
    /// - Parameter records: all of the run.
    func expectOneRecordEach(_ records: [Record]) {
        var byNumber: [Int: [Record]] = [:]
        // Refused before there was a target: what they were about is known by their status only.
        var unnamed = records.filter { $0.number < 0 && $0.status != 0 }
        for record in records where record.number >= 0 { byNumber[record.number, default: []].append(record) }
        for client in clients {
            for (ask, outcome) in zip(client.asks, client.outcomes) {
                let found = byNumber.removeValue(forKey: ask.number) ?? []
                if found.count > 1 { violated("\(ask.number) has \(found.count) records") }
                let record = found.first
                let hasLeft = client.hasLeft || client.withdrawn.contains(ask.number)
                switch outcome {
                case .open: violated("\(ask.number) has no outcome")
                case .answered(let status):
                    if record == nil {
                        if let i = unnamed.firstIndex(where: { $0.status == status }) {
                            unnamed.remove(at: i)
                        } else {
                            violated("\(ask.number) was answered and has no record")
                        }
                    }
                    if let record, record.status != status {
                        violated("\(ask.number) got \(status), its record says \(record.status)")
                    }
                case .cut(let status):
                    guard let record else {
                        violated("\(ask.number) got a part of an answer and has no record")
                        continue
                    }
                    // Who leaves may have missed the rest of a response that was complete.
                    if !hasLeft, record.reason.isEmpty {
                        violated("\(ask.number) got a part of its \(status), its record says nothing of it")
                    }
                case .nothing:
                    if !hasLeft, let record, record.status != 0, record.reason.isEmpty {
                        violated("\(ask.number) got nothing, its record says \(record.status)")
                    }
                }
            }
        }
        for record in unnamed { violated("a record of nothing: \(record.line)") }
        for number in byNumber.keys { violated("a record of \(number), which nobody has sent") }
    }

    /// Requests are tried again as they may be: what is not idempotent at no second endpoint, never where it has
    /// just failed while another is left, never more often than the budget allows.
    func expectRetriesInBounds(_ records: [Record], attemptsMax: Int, floor: Int, perMille: Int) {
        var last: [Int: Arrival] = [:]
        var charged: [Int: Int] = [:]
        for arrival in arrivals {
            defer { last[arrival.number] = arrival }
            guard let before = last[arrival.number] else { continue }
            if arrival.method == "POST" { violated("POST \(arrival.number) was sent twice") }
            // A kept connection that ended under the request says nothing about the endpoint.
            let isFree = !before.isFirst && !before.isAnswered && before.endpoint == arrival.endpoint
            if before.endpoint == arrival.endpoint, !isFree {
                violated("\(arrival.number) came to endpoint \(arrival.endpoint) twice in a row")
            }
            if !isFree { charged[arrival.number, default: 1] += 1 }
            if let attempts = charged[arrival.number], attempts > attemptsMax {
                violated("\(arrival.number) was tried \(attempts) times")
            }
        }
        let retries = records.reduce(0) { $0 + max(0, $1.attempts - 1) }
        if retries > floor + records.count * perMille / 1_000 {
            violated("\(retries) retries of \(records.count) requests")
        }
        for record in records where record.attempts > attemptsMax {
            violated("\(record.number): \(record.attempts) attempts are recorded")
        }
    }
}
