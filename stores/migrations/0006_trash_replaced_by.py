from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("stores", "0005_api_tokens")]

    operations = [migrations.AddField("trashentry", "replaced_by", models.CharField(blank=True, max_length=32))]
