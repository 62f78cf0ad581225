package distill

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// describe lists all that there is to see of a value: one setting for each
// number, string and function in it, named by the path that leads there.
//
//   - A value in an interface has its type with it, for SGD{} is not Adam{}.
//   - Lists and maps of nothing are not shown, unless their elements would be
//     shown side by side.
//   - Long lists are shown by a hash, bytes in hex, maps by sorted key.
//   - Schedules are sampled over the steps, where 0 is an unknown number.
//   - Fields with the tag config:"-", on which no byte depends, are left out.
//   - Declared functions are shown by name. Closures and channels are shown by
//     type and unexported fields not at all: what these hold can change unseen.
func describe(name string, v any, steps int) []Setting {
	d := description{steps: steps, on: map[visit]bool{}}
	d.add(name, reflect.ValueOf(&v).Elem(), false)
	return d.settings
}

// Settings that are hashes, which say little by themselves.
const (
	studentWeights = "Student.Fingerprint"
	studentForward = "Student.Forward"
)

// wants are what to do about them.
var wants = map[string]string{
	studentWeights: "; want the weights that the run began with: make the student anew, with its seed",
	studentForward: "; want the network that the run began with, its classes and its norms",
}

// diff says which setting of a checkpoint is the first that this run does not
// share.
func diff(then, now []Setting) error {
	here := make(map[string]string, len(now))
	for _, s := range now {
		here[s.Name] = s.Value
	}
	there := make(map[string]bool, len(then))
	for _, s := range then {
		there[s.Name] = true
		if v, ok := here[s.Name]; !ok {
			return fmt.Errorf("distill: the checkpoint was made with %s %s; this run has none", s.Name, s.Value)
		} else if v != s.Value {
			return fmt.Errorf("distill: the checkpoint was made with %s %s; this run has %s%s", s.Name, s.Value, v, wants[s.Name])
		}
	}
	for _, s := range now {
		if !there[s.Name] {
			return fmt.Errorf("distill: the checkpoint was made without %s; this run has %s", s.Name, s.Value)
		}
	}
	return nil
}

type description struct {
	steps    int
	settings []Setting
	on       map[visit]bool // the pointers on the way to here
}

type visit struct {
	at  uintptr
	typ reflect.Type
}

func (d *description) set(name, value string) {
	d.settings = append(d.settings, Setting{name, value})
}

// add describes v. If typed, it is what an interface holds.
func (d *description) add(name string, v reflect.Value, typed bool) {
	if text, ok := d.leaf(v); ok {
		if of := v.Type(); typed && of.PkgPath() != "" && text != of.String() {
			text = of.String() + "(" + text + ")"
		}
		d.set(name, text)
		return
	}
	if v.Kind() == reflect.Pointer {
		here := visit{v.Pointer(), v.Type()}
		d.on[here] = true
		d.add(name, v.Elem(), typed)
		delete(d.on, here)
		return
	}
	if typed && name != "" {
		d.set(name, v.Type().String())
	}
	switch v.Kind() {
	case reflect.Interface:
		d.add(name, v.Elem(), true)
	case reflect.Struct:
		d.fields(name, v)
	case reflect.Map:
		d.entries(name, v)
	default: // a slice or an array
		for i := range v.Len() {
			d.add(fmt.Sprintf("%s[%d]", name, i), v.Index(i), false)
		}
	}
}

func (d *description) fields(name string, v reflect.Value) {
	if name != "" {
		name += "."
	}
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("config") != "-" {
			d.add(name+f.Name, v.Field(i), false)
		}
	}
}

func (d *description) entries(name string, v reflect.Value) {
	keys := v.MapKeys()
	text := func(k reflect.Value) string { return fmt.Sprint(k.Interface()) }
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(text(a), text(b)) })
	for _, k := range keys {
		d.add(fmt.Sprintf("%s[%s]", name, text(k)), v.MapIndex(k), false)
	}
}

// longest is the longest list that is shown item by item.
const longest = 16

var (
	scheduleType = reflect.TypeFor[func(int) float64]()
	closure      = regexp.MustCompile(`\.func[0-9]|-fm$`) // in the name of a function
)

// leaf is the text of a value that is one setting.
func (d *description) leaf(v reflect.Value) (text string, ok bool) {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if v.IsNil() {
			return "nil", true
		}
		if t, ok := v.Interface().(reflect.Type); ok {
			return t.String(), true
		}
		return "seen above", v.Kind() == reflect.Pointer && d.on[visit{v.Pointer(), v.Type()}]
	case reflect.Struct:
		return "", false
	case reflect.Map:
		return "", false
	case reflect.Slice, reflect.Array:
		return list(v)
	case reflect.Func:
		return d.function(v), true
	case reflect.Chan, reflect.UnsafePointer:
		return v.Type().String(), true
	case reflect.String:
		return fmt.Sprintf("%q", v.String()), true
	}
	return fmt.Sprint(v.Interface()), true
}

// list is the text of a slice or an array that has no structure in it.
func list(v reflect.Value) (text string, ok bool) {
	switch kind := v.Type().Elem().Kind(); {
	case kind > reflect.Complex128 && kind != reflect.String:
		return "", false
	case v.Len() == 0:
		return "none", true
	case kind == reflect.Uint8 && v.Len() <= 64:
		return fmt.Sprintf("%x", v.Interface()), true
	case kind == reflect.String && v.Len() <= longest:
		return fmt.Sprintf("%q", v.Interface()), true
	case v.Len() <= longest:
		return fmt.Sprint(v.Interface()), true
	}
	h := sha256.New()
	for i := range v.Len() {
		fmt.Fprintf(h, "%q", fmt.Sprint(v.Index(i).Interface()))
	}
	return fmt.Sprintf("%d of %s, sha256 %s", v.Len(), v.Type().Elem(), short(h)), true
}

func (d *description) function(v reflect.Value) string {
	if v.IsNil() {
		return "nil"
	}
	if v.CanConvert(scheduleType) {
		return samples(v.Convert(scheduleType).Interface().(func(int) float64), d.steps)
	}
	name := runtime.FuncForPC(v.Pointer()).Name()
	if closure.MatchString(name) {
		return v.Type().String()
	}
	return name[strings.LastIndex(name, "/")+1:]
}

// samples is the text of a schedule: its value if it is constant, else its ends
// and a hash of what it is in between.
//
// Where the number of steps is not known, the first 4096 are looked at, or as
// many as there are before the schedule panics: it may be a table.
func samples(s Schedule, steps int) (text string) {
	unknown := steps < 1
	if unknown {
		steps = foreseen
	}
	h, constant := sha256.New(), true
	first := s(0)
	last := first
	sum := func() string {
		if constant {
			return fmt.Sprint(first)
		}
		return fmt.Sprintf("%v to %v, sha256 %s", first, last, short(h))
	}
	defer func() {
		if unknown && recover() != nil {
			text = sum()
		}
	}()
	var word [8]byte
	for i := range looked(steps) {
		last = s(i)
		binary.LittleEndian.PutUint64(word[:], math.Float64bits(last))
		h.Write(word[:])
		constant = constant && math.Float64bits(last) == math.Float64bits(first)
	}
	return sum()
}

// short is the start of a hash, enough to tell configurations apart.
func short(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)[:8]) }
