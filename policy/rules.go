package policy

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/env"
)

// The cost of rules is counted in the units of CEL: about one for each
// variable, member or call, and more for what works on long texts and lists.
const (
	// maxCost bounds one rule: what it may be estimated to cost at parse, for
	// content of the assumed size, and what it may really cost on a statement.
	maxCost = 100_000
	// The size that the estimate assumes of what a rule reads.
	assumedSize  = 64 // items of a list or map, bytes of a text
	assumedDepth = 10 // of members and items inside each other
	// costModel is fixed so that another version of the CEL library does not
	// count a statement's cost differently.
	costModel = 1
	maxExpr   = 4096 // characters of an expression
)

// rule is one of "rules": a CEL expression that must be true.
type rule struct {
	id, expr, message string

	pos     int
	program cel.Program
	reads   []string // the variables in it
}

// variables are what a rule sees. docs/policy.md explains each.
var variables = []struct {
	name string
	typ  *cel.Type
}{
	{"iss", cel.StringType}, {"sub", cel.StringType}, {"iat", cel.IntType},
	{"alg", cel.StringType}, {"kid", cel.BytesType},
	{"typ", cel.StringType}, {"content_type", cel.StringType},
	{"header", cel.MapType(cel.DynType, cel.DynType)},
	{"claims", cel.MapType(cel.DynType, cel.DynType)},
	{"entry_size", cel.IntType}, {"payload_size", cel.IntType}, {"payload", cel.DynType},

	{"envelope.present", cel.BoolType}, {"envelope.alg", cel.IntType}, {"envelope.digest", cel.BytesType},
	{"envelope.content_type", cel.StringType}, {"envelope.location", cel.StringType},

	{"artifact.stored", cel.BoolType}, {"artifact.size", cel.IntType}, {"artifact.content", cel.DynType},

	{"cert.present", cel.BoolType},
	{"cert.subject", cel.MapType(cel.StringType, cel.ListType(cel.StringType))},
	{"cert.issuer", cel.MapType(cel.StringType, cel.ListType(cel.StringType))},
	{"cert.email", cel.ListType(cel.StringType)}, {"cert.dns", cel.ListType(cel.StringType)},
	{"cert.uri", cel.ListType(cel.StringType)}, {"cert.eku", cel.ListType(cel.StringType)},
	{"cert.serial", cel.StringType}, {"cert.thumbprint", cel.StringType},
	{"cert.path", cel.ListType(cel.StringType)},
	{"cert.not_before", cel.IntType}, {"cert.not_after", cel.IntType},

	{"chain.present", cel.BoolType}, {"chain.name", cel.StringType},
	{"chain.seq", cel.IntType}, {"chain.prev", cel.BytesType},
	{"head.present", cel.BoolType}, {"head.index", cel.IntType},
	{"head.seq", cel.IntType}, {"head.id", cel.StringType},
}

// ruleEnv is the language of rules: CEL's standard library and optional types,
// without anything that knows of time. Time zones in particular come from
// files of the machine and would make a replay depend on it.
var ruleEnv = sync.OnceValues(func() (*cel.Env, error) {
	timeless := &env.LibrarySubset{}
	for _, f := range []string{"timestamp", "duration", "getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate",
		"getDayOfWeek", "getHours", "getMinutes", "getSeconds", "getMilliseconds"} {
		timeless.ExcludeFunctions = append(timeless.ExcludeFunctions, env.NewFunction(f))
	}
	options := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(timeless)),
		cel.OptionalTypes(),
		cel.CrossTypeNumericComparisons(true),
		cel.CostModelVersion(costModel),
		cel.ParserExpressionSizeLimit(maxExpr),
		cel.ParserRecursionLimit(64),
		cel.ASTValidators(cel.ValidateRegexLiterals()),
	}
	for _, v := range variables {
		options = append(options, cel.Variable(v.name, v.typ))
	}
	return cel.NewCustomEnv(options...)
})

// compile checks a rule's expression and prepares it. expr is the text's place
// in the document.
func (p *Policy) compile(d *decoder, env *cel.Env, r *rule, expr *node, path string) {
	tree, issues := env.Compile(r.expr)
	if issues.Err() != nil {
		for _, e := range issues.Errors() {
			d.errorf(expr.pos, path, "at character %d of the expression: %s", e.Location.Column()+1, e.Message)
		}
		return
	}
	if tree.OutputType() != cel.BoolType {
		d.errorf(expr.pos, path, "the expression gives %s, not bool; compare it with something, such as == true", tree.OutputType())
		return
	}
	if reason := r.inspect(tree.NativeRep()); reason != "" {
		d.errorf(expr.pos, path, "%s", reason)
		return
	}
	estimate, err := env.EstimateCost(tree, sizes{})
	if err != nil {
		d.errorf(expr.pos, path, "the cost cannot be estimated: %v", err)
		return
	}
	if estimate.Max == math.MaxUint64 {
		d.errorf(expr.pos, path, "the cost of the expression cannot be bounded, and %d are allowed; nest fewer macros, or compare with a literal", maxCost)
		return
	}
	if estimate.Max > maxCost {
		d.errorf(expr.pos, path, "the expression may cost %d, and %d are allowed (reckoned for lists of %d items and texts of %d bytes); nest fewer macros over the payload", estimate.Max, maxCost, assumedSize, assumedSize)
		return
	}
	if r.program, err = env.Program(tree, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost)); err != nil {
		d.errorf(expr.pos, path, "%v", err)
	}
}

// inspect collects the variables of an expression and refuses what would not
// be deterministic: the maps that CEL makes iterate in random order.
func (r *rule) inspect(tree *ast.AST) (reason string) {
	for _, ref := range tree.ReferenceMap() {
		if ref.Name != "" && !slices.Contains(r.reads, ref.Name) {
			r.reads = append(r.reads, ref.Name)
		}
	}
	slices.Sort(r.reads)
	ast.PreOrderVisit(tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.MapKind:
			reason = "a map {...} cannot stand in a rule; use a list, or compare the members one by one"
		case ast.StructKind:
			reason = "a message T{...} cannot stand in a rule"
		case ast.CallKind:
			if c := e.AsCall(); c.FunctionName() == "matches" && c.Args()[len(c.Args())-1].Kind() != ast.LiteralKind {
				reason = "the pattern of matches() must be a literal"
			}
		}
	}))
	return reason
}

// readsAny reports whether the rule uses a variable with one of the prefixes.
func (r *rule) readsAny(prefixes ...string) bool {
	return slices.ContainsFunc(r.reads, func(name string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	})
}

// sizes tells the cost estimate how large content is assumed to be.
type sizes struct{}

// EstimateCallCost gives what comes out of an optional the assumed size: the
// estimate loses it on the way.
func (sizes) EstimateCallCost(function, overload string, target *cost.AstNode, args []cost.AstNode) *cost.CallEstimate {
	switch function {
	case "orValue", "value", "or":
		return &cost.CallEstimate{CostEstimate: cost.FixedCostEstimate(1), ResultSize: &cost.SizeEstimate{Max: assumedSize}}
	}
	return nil
}

func (sizes) EstimateSize(e cost.AstNode) *cost.SizeEstimate {
	switch depth := len(e.Path()); {
	case depth == 0:
		return nil
	case depth > assumedDepth: // ends a walk through content whose form is not known
		return &cost.SizeEstimate{}
	}
	return &cost.SizeEstimate{Max: assumedSize}
}

// checkModes refuses rules that read facts which the policy never asks for.
func (p *Policy) checkModes(d *decoder) {
	if p.chain == modeOff && p.handover == handoverAllowed {
		d.errorf(0, "handover", "chains may be handed over, and \"chain\" is \"off\"")
	}
	for i, r := range p.rules {
		at := fmt.Sprintf("rules[%d].expr", i)
		if p.artifact == modeOff && r.readsAny("artifact.") {
			d.errorf(r.pos, at, "the rule reads artifact, and \"artifact\" is \"off\"")
		}
		if p.chain == modeOff && r.readsAny("head.") {
			d.errorf(r.pos, at, "the rule reads the head of a chain, and \"chain\" is \"off\"")
		}
	}
}
