package ld

import (
	"fmt"
	"slices"
)

// Evaluate returns a flag's value for a user from the items of a store, or nil if there is no such flag. It reads the
// store like go-client.v4: first the flag, then the segments that its rules name.
func Evaluate(store FeatureStore, key, user string) (interface{}, error) {
	data, err := store.Get(Features, key)
	if err != nil || data == nil {
		return nil, err
	}
	flag, ok := data.(*Flag)
	if !ok {
		return nil, fmt.Errorf("flag %q is a %T", key, data)
	}
	variation := flag.OffVariation
	if flag.On {
		if variation, err = flag.variation(store, user); err != nil {
			return nil, err
		}
	}
	if variation == nil || *variation < 0 || *variation >= len(flag.Variations) {
		return nil, nil
	}
	return flag.Variations[*variation], nil
}

// variation returns the variation of the first matching rule, or of the fallthrough.
func (f *Flag) variation(store FeatureStore, user string) (*int, error) {
	for _, rule := range f.Rules {
		matches := true
		for _, clause := range rule.Clauses {
			one, err := clause.matches(store, user)
			if err != nil {
				return nil, err
			}
			matches = matches && one
		}
		if matches {
			return rule.Variation.Variation, nil
		}
	}
	return f.Fallthrough.Variation, nil
}

func (c Clause) matches(store FeatureStore, user string) (bool, error) {
	if c.Op != "segmentMatch" {
		return false, nil
	}
	for _, value := range c.Values {
		name, _ := value.(string)
		data, err := store.Get(Segments, name)
		if err != nil {
			return false, err
		}
		if segment, ok := data.(*Segment); ok && slices.Contains(segment.Included, user) {
			return !c.Negate, nil
		}
	}
	return c.Negate, nil
}
