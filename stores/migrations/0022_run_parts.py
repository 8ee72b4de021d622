from django.db import migrations, models


class Migration(migrations.Migration):
    """Parts of counts become parts of runs, since purges have parts too."""

    dependencies = [
        ("stores", "0021_token_made_with"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="censuspart", name="census_part_of_run"),
        migrations.RenameModel(old_name="CensusPart", new_name="RunPart"),
        migrations.AddConstraint(
            model_name="runpart",
            constraint=models.UniqueConstraint(fields=("run", "number"), name="part_of_run"),
        ),
    ]
