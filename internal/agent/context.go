package agent

import (
	"encoding/json"
	"fmt"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
)

// Attributes of an OpenFeature context with a special meaning, as in LaunchDarkly's OpenFeature providers.
const (
	attrTargetingKey = "targetingKey"
	attrKey          = "key"
	attrKind         = "kind"
	attrPrivate      = "privateAttributes"
	attrMeta         = "_meta" // LaunchDarkly's, in JSON

	kindMulti = "multi"
)

// parseContext converts the context of an OFREP request to a LaunchDarkly context:
//
//   - The context's key is targetingKey, or key if there is no targetingKey.
//   - The context's kind is kind, by default "user". The kind "multi" makes a multi-kind context: each attribute that
//     is an object is the context of the kind with the attribute's name; other attributes are ignored.
//   - privateAttributes lists attributes that LaunchDarkly's events must not contain.
//   - All other attributes keep their names and values; name must be a string and anonymous a boolean.
func parseContext(attributes ldvalue.Value) (ldcontext.Context, *failure) {
	if !attributes.IsNull() && attributes.Type() != ldvalue.ObjectType {
		return ldcontext.Context{}, invalidContext("the context must be an object")
	}
	if attributes.GetByKey(attrKind).Equal(ldvalue.String(kindMulti)) {
		return parseMulti(attributes)
	}
	return parseSingle(attributes)
}

func parseMulti(attributes ldvalue.Value) (ldcontext.Context, *failure) {
	builder := ldcontext.NewMultiBuilder()
	for kind, value := range attributes.AsValueMap().AsMap() {
		if value.Type() != ldvalue.ObjectType {
			continue
		}
		nested := value.AsValueMap().AsMap()
		nested[attrKind] = ldvalue.String(kind)
		single, failed := parseSingle(ldvalue.CopyObject(nested))
		if failed != nil {
			failed.details = fmt.Sprintf("kind %q: %s", kind, failed.details)
			return ldcontext.Context{}, failed
		}
		builder.Add(single)
	}
	multi, err := builder.TryBuild()
	if err != nil {
		return ldcontext.Context{}, invalidContext("multi-kind context: " + err.Error())
	}
	return multi, nil
}

func parseSingle(attributes ldvalue.Value) (ldcontext.Context, *failure) {
	all := attributes.AsValueMap().AsMap()
	if all == nil {
		all = map[string]ldvalue.Value{}
	}
	if targetingKey, found := all[attrTargetingKey]; found && !targetingKey.IsNull() {
		all[attrKey] = targetingKey
	}
	switch key := all[attrKey]; {
	case key.IsNull() || key.Equal(ldvalue.String("")):
		return ldcontext.Context{}, &failure{code: codeTargetingKeyMissing,
			details: "the context has no targetingKey, which LaunchDarkly needs as the context's key"}
	case !key.IsString():
		return ldcontext.Context{}, invalidContext("the targetingKey must be a string")
	}
	if all[attrKind].IsNull() {
		all[attrKind] = ldvalue.String(string(ldcontext.DefaultKind))
	}
	delete(all, attrTargetingKey)
	delete(all, attrMeta)
	if private := all[attrPrivate]; !private.IsNull() {
		all[attrMeta] = ldvalue.ObjectBuild().Set(attrPrivate, private).Build()
	}
	delete(all, attrPrivate)
	// LaunchDarkly's own parser of contexts checks the rest: kind, name, anonymous, private attributes.
	text, err := json.Marshal(all)
	var single ldcontext.Context
	if err == nil {
		err = json.Unmarshal(text, &single)
	}
	if err == nil {
		err = single.Err()
	}
	if err != nil {
		return ldcontext.Context{}, invalidContext(err.Error())
	}
	return single, nil
}
