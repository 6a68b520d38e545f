// Conditions as texts of the file: compiled here already, so that what is wrong with one is shown with the rest.
// Regular expressions in them are compiled by the control plane, like all others.

import WeirExpressions

/// A condition on requests.
struct ConditionText: ScalarForm {
    typealias Value = Text

    /// What can be asked where it stands.
    let known: Known

    let syntax = "EXPRESSION"
    let expectation = "a condition such as request.header[\"x-tenant\"] == \"blue\""
    var schema: [JSONMember] { [("type", SchemaText.quoted("string"))] }

    func parse(_ scalar: Scalar) throws(ValueProblem) -> Text {
        do throws(ExpressionError) {
            _ = try ConditionExpression(scalar.text.expression, known: known)
        } catch {
            throw ValueProblem(
                message: "\(scalar.path): \(error.message)", expectation: error.expectation,
                suggestion: error.bareSuggestion, span: error.position..<error.position + error.length)
        }
        return scalar.text
    }

    func print(_ value: Text) -> Node? { .text(value) }
}
