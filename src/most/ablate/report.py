def write_ablation(recipe):
    return recipe.output / "report.html"
