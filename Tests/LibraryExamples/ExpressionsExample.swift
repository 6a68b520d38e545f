// WeirExpressions: what its page shows.

import WeirExpressions

enum ExpressionsExample {
    static func run(_ print: (String) -> Void) throws {
        // The page quotes from here…
        let known = Known.request
        let condition = try ConditionExpression(
            #"request.method == "GET" && request.path startsWith "/admin/""#, known: known)
        print("\(condition.properties.contains(.method)), \(condition.patterns.count) patterns")
        // What is wrong is found before anything is served.
        do {
            _ = try ConditionExpression("request.method ==", known: known)
        } catch {
            print("wrong at \(error.position)")
        }
        // …to here.
    }
}
