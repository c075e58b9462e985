package main

import (
	"net/http"
	"slices"
	"strconv"
)

const (
	maxRecent   = 4 // goods that "recently seen" shows
	maxQuantity = 9 // pieces of one product
)

// home counts its visits.
func home(v *visit) {
	v.Data.Visits++
	v.change("visits", v.Data.Visits)
	v.show(http.StatusOK, "home", struct{ Goods, Recent []product }{goods(), named(v.Data.Recent)})
}

// showProduct remembers that this product was seen last.
func showProduct(v *visit) {
	p, ok := find(v.r.PathValue("id"))
	if !ok {
		http.NotFound(v.w, v.r)
		return
	}
	others := slices.DeleteFunc(slices.Clone(v.Data.Recent), func(id string) bool { return id == p.ID })
	recent := append([]string{p.ID}, others...)
	v.change("recent", recent[:min(len(recent), maxRecent)])
	v.show(http.StatusOK, "product", struct {
		Product product
		Recent  []product
	}{p, named(others)})
}

func showCart(v *visit) { v.show(http.StatusOK, "cart", maxQuantity) }

func addToCart(v *visit) {
	p, ok := find(v.r.PostForm.Get("id"))
	if !ok {
		http.Error(v.w, "We do not sell that. Choose something from the shop's page.", http.StatusBadRequest)
		return
	}
	v.put(p, v.Data.Cart[p.ID]+1)
	v.redirect("/cart")
}

func changeCart(v *visit) {
	p, ok := find(v.r.PostForm.Get("id"))
	quantity, err := strconv.Atoi(v.r.PostForm.Get("quantity"))
	if !ok || err != nil {
		http.Error(v.w, "The cart could not be changed. Go back and enter a number from 0 to 9.", http.StatusBadRequest)
		return
	}
	v.put(p, quantity)
	v.redirect("/cart")
}

// put has the cart hold that many of a product. A merge patch names only what changes; nil takes the product out.
func (v *visit) put(p product, quantity int) {
	if quantity <= 0 {
		v.change("cart", map[string]any{p.ID: nil})
		return
	}
	v.change("cart", cart{p.ID: min(quantity, maxQuantity)})
}

// changeTheme works without a login: it begins an anonymous session.
func changeTheme(v *visit) {
	switch theme := v.r.PostForm.Get("theme"); theme {
	case "light", "dark":
		v.change("theme", theme)
	default:
		v.change("theme", nil)
	}
	v.redirect(safePath(v.r.PostForm.Get("next")))
}
