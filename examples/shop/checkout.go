package main

import (
	"net/http"
	"strings"
	"unicode"
)

// maxField is the longest line of an address, in bytes: the whole session must fit into a cookie.
const maxField = 80

// address is the checkout's first step.
type address struct {
	Name   string `json:"name"`
	Street string `json:"street"`
	City   string `json:"city"`
}

// field is one line of the address form.
type field struct{ Name, Label, Autocomplete, Value, Error string }

// fields are the form's lines, with what is wrong about each once it was sent.
func (a address) fields(sent bool) []field {
	list := []field{
		{Name: "name", Label: "Name", Autocomplete: "name", Value: a.Name},
		{Name: "street", Label: "Street and number", Autocomplete: "address-line1", Value: a.Street},
		{Name: "city", Label: "Postcode and city", Autocomplete: "address-level2", Value: a.City},
	}
	for i := range list {
		if sent {
			list[i].Error = fault(list[i].Value)
		}
	}
	return list
}

// fault says what is wrong with a line of the address, if anything.
func fault(value string) string {
	switch {
	case value == "":
		return "Please fill this in."
	case len(value) > maxField:
		return "Please shorten this."
	case strings.ContainsFunc(value, unicode.IsControl):
		return "Please use letters and digits."
	}
	return ""
}

// ready sends visitors with nothing to pay for to their cart. Curfew's rules have made sure that they are logged in.
func (v *visit) ready() bool {
	if v.Data.Cart.Count() == 0 {
		v.redirect("/cart")
		return false
	}
	return true
}

// askAddress is step 1; who comes back to it finds what they wrote.
func askAddress(v *visit) {
	if !v.ready() {
		return
	}
	var a address
	if v.Data.Address != nil {
		a = *v.Data.Address
	}
	v.show(http.StatusOK, "address", a.fields(false))
}

func takeAddress(v *visit) {
	text := func(name string) string { return strings.TrimSpace(v.r.PostForm.Get(name)) }
	a := address{text("name"), text("street"), text("city")}
	list := a.fields(true)
	for _, f := range list {
		if f.Error != "" {
			v.show(http.StatusUnprocessableEntity, "address", list)
			return
		}
	}
	v.change("address", a)
	v.redirect("/checkout/confirm")
}

// restart forgets what was written so far.
func restart(v *visit) {
	v.change("address", nil)
	v.redirect("/checkout")
}

// askConfirmation is step 2. Whoever skipped step 1 goes there first.
func askConfirmation(v *visit) {
	switch {
	case !v.ready():
	case v.Data.Address == nil:
		v.redirect("/checkout")
	default:
		v.show(http.StatusOK, "confirm", nil)
	}
}

// order ends the form. A real shop writes the order to its database here, and refuses to write it twice.
func order(v *visit) {
	switch {
	case !v.ready():
	case v.Data.Address == nil:
		v.redirect("/checkout")
	default:
		v.change("cart", nil)
		v.change("address", nil)
		v.redirect("/checkout/thanks")
	}
}

func thank(v *visit) { v.show(http.StatusOK, "thanks", nil) }
